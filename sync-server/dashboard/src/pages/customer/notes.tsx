import type { ReactNode } from "react";
import type { CustomerShown } from "../../api/files";
import { useHolds } from "../../api/queries";
import { TextEditor } from "../../ui/text-editor";
import { word } from "../../words";

/** What the office should remember of the customer. */
export function Notes({ file }: { file: CustomerShown }): ReactNode {
  const desk = useHolds("clerk", "service_manager");
  return <TextEditor doc={file.row.doc} heads={file.row.heads} field="notes" stands={file.entity.notes} may={desk} label={word("field", "customer.notes")} />;
}
