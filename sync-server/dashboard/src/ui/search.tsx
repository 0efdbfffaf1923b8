import { Input } from "antd";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { useUrl } from "./url";

/** Words to search by, kept in the address under `q`; asked a moment after the last letter. */
export function Search({ label }: { label: string }): ReactNode {
  const [params, change] = useUrl();
  const asked = params.get("q") ?? "";
  const [text, setText] = useState(asked);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // The address may change by the browser's own back button.
  const [seen, setSeen] = useState(asked);
  if (seen !== asked) {
    setSeen(asked);
    setText(asked);
  }
  useEffect(() => () => clearTimeout(timer.current), []);
  const ask = (q: string): void => {
    setText(q);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => change({ q: q.trim() || undefined }), 250);
  };
  return (
    <Input
      allowClear
      type="search"
      value={text}
      aria-label={label}
      placeholder={label}
      style={{ width: 240 }}
      onChange={(event) => ask(event.target.value)}
    />
  );
}
