import type { ReactNode } from "react";
import type { Evidence } from "../../api/files";
import { stamp } from "../../format";
import { DocLink } from "../../ui/parts";
import { word } from "../../words";

/** Facts against the person or for the rule, and facts that leave it open. */
const AGAINST = new Set(["arrived", "check_contradicted", "check_missing", "no_contact", "photo_missing"]);
const OPEN = /_(doubtful|unknown|unclear)$|^not_synced$|^no_deadline$|^not_on_site$/;

/** What belongs to a fact, in words. */
function about({ fact, value }: Evidence): string {
  if (value == null) return "";
  if (fact.startsWith("check_") || fact === "photo_missing") return word("check", value);
  if (fact === "complaint") return word("complaint_about", value);
  if (fact === "contacted") return word("channel", value);
  if (fact === "decision") return word("decision", value);
  return value;
}

/** What a proposal rests on, a fact a line, each leading to the document that holds it. */
export function EvidenceList({ evidence }: { evidence: Evidence[] }): ReactNode {
  return (
    <ul className="evidence">
      {evidence.map((one, n) => {
        const said = about(one);
        return (
          // Facts have no names; the same one may come twice.
          <li key={n} className={OPEN.test(one.fact) ? "evidence-open" : AGAINST.has(one.fact) ? "evidence-against" : ""}>
            {one.doc ? <DocLink doc={one.doc}>{word("evidence", one.fact)}</DocLink> : word("evidence", one.fact)}
            {said && <span>{said}</span>}
            {one.at != null && <span className="quiet nowrap">{stamp(one.at)}</span>}
          </li>
        );
      })}
    </ul>
  );
}
