import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { Day } from "../api/types";
import "./warranty.css";

const days = (day: Day): number => Date.parse(`${day}T00:00:00Z`) / 86_400_000;

/** How much of a machine's warranty has passed: a bar from its first day to its last, with today's place. */
export function WarrantyBar({ from, until, today }: { from: Day | null; until: Day | null; today: Day }): ReactNode {
  const { t } = useTranslation();
  if (until === null) return <span className="quiet">{t("warranty.unknown")}</span>;
  const left = days(until) - days(today);
  const length = from === null ? undefined : days(until) - days(from);
  const passed = length === undefined || length <= 0 ? undefined : Math.min(1, Math.max(0, 1 - left / length));
  const over = left < 0;
  return (
    <span className={over ? "warranty warranty-over" : left < 30 ? "warranty warranty-soon" : "warranty"}>
      {passed !== undefined && (
        <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
          <rect width="100" height="8" rx="2" className="warranty-left" />
          <rect width={passed * 100} height="8" rx="2" className="warranty-passed" />
        </svg>
      )}
      <span>{over ? t("warranty.over", { day: until }) : t("warranty.until", { day: until, count: Math.round(left) })}</span>
    </span>
  );
}
