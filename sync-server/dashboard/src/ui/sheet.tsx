import type { ReactNode } from "react";
import "./sheet.css";

/** A part of a page with a name, as a sheet of paper. */
export function Sheet({ title, actions, children }: { title: string; actions?: ReactNode; children: ReactNode }): ReactNode {
  return (
    <section className="sheet" aria-label={title}>
      {actions ? (
        <div className="sheet-head">
          <h2>{title}</h2>
          {actions}
        </div>
      ) : (
        <h2>{title}</h2>
      )}
      {children}
    </section>
  );
}
