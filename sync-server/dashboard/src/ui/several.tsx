import { Select, type SelectProps } from "antd";
import type { ReactNode } from "react";

/** Several of some things, chosen by their names. */
export function Several(asked: Omit<SelectProps<string[]>, "mode" | "showSearch">): ReactNode {
  return (
    // Left to itself, the key that goes on to the next field would first put out what was chosen last.
    <div style={{ display: "contents" }} onKeyDownCapture={(event) => event.key === "Tab" && event.stopPropagation()}>
      <Select mode="multiple" showSearch={{ optionFilterProp: "label" }} {...asked} />
    </div>
  );
}
