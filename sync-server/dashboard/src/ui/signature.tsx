import type { ReactNode } from "react";

/** Most points that are drawn: a hand does not make more. */
const MOST = 20_000;

/** A signature's strokes as lines: strokes are parted by `;`, points by blanks; what is no point is passed over. */
export function lines(strokes: string): string[] {
  let left = MOST;
  return strokes.split(";").flatMap((stroke) => {
    const points = (stroke.match(/(?<!\S)-?\d+,-?\d+(?!\S)/g) ?? []).slice(0, left);
    left -= points.length;
    if (points.length === 0) return [];
    // A dot: a line without length has a round cap.
    return [points.length === 1 ? `${points[0] ?? ""} ${points[0] ?? ""}` : points.join(" ")];
  });
}

/** A signature, drawn from its strokes. */
export function Ink({ strokes, label }: { strokes: string; label: string }): ReactNode {
  return (
    <svg className="ink" viewBox="0 0 1000 400" preserveAspectRatio="xMidYMid meet" role="img" aria-label={label}>
      <g fill="none" stroke="currentColor" strokeWidth="8" strokeLinecap="round" strokeLinejoin="round">
        {lines(strokes).map((points, n) => (
          // Strokes have no names of their own and never change places.
          <polyline key={n} points={points} />
        ))}
      </g>
    </svg>
  );
}
