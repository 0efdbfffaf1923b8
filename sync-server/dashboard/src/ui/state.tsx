import { Button, Spin } from "antd";
import { useEffect, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { told } from "../api/problem";

/** Something is being fetched; says so only where it takes a moment. */
export function Loading(): ReactNode {
  const { t } = useTranslation();
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 250);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div className="state" role="status" aria-live="polite">
      {slow && (
        <>
          <Spin size="small" /> {t("state.loading")}
        </>
      )}
    </div>
  );
}

/** There is nothing to show, and why that is so. */
export function Nothing({ children }: { children: ReactNode }): ReactNode {
  return <div className="state">{children}</div>;
}

/** Something could not be fetched: why, and the way to try again. */
export function Failed({ error, again }: { error: unknown; again?: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="state" role="alert">
      <p>{told(t, error)}</p>
      {again && <Button onClick={again}>{t("state.again")}</Button>}
    </div>
  );
}

/** What there is to know of a query, whether it asks for pages or for all. */
export interface Asked<T> {
  data: T | undefined;
  isError: boolean;
  error: unknown;
  refetch: () => unknown;
}

/** What a query found; while it asks and where it fails, that. What was found before stays while it asks again. */
export function Answered<T>({ query, children }: { query: Asked<T>; children: (data: T) => ReactNode }): ReactNode {
  if (query.data !== undefined) return children(query.data);
  if (query.isError) return <Failed error={query.error} again={() => void query.refetch()} />;
  return <Loading />;
}
