import { Button } from "antd";
import { Component, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useRouteError } from "react-router";
import { Failed } from "./state";

function Broken({ error }: { error: unknown }): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="state" role="alert">
      <h1>{t("state.broken")}</h1>
      <Failed error={error} />
      <Button type="primary" onClick={() => window.location.reload()}>
        {t("state.reload")}
      </Button>
    </div>
  );
}

/** A page that fails, or whose file is no longer there because the server was updated. */
export function RouteBroken(): ReactNode {
  return <Broken error={useRouteError()} />;
}

/** Keeps a failure from taking the whole page away. */
export class Boundary extends Component<{ children: ReactNode }, { error: unknown; failed: boolean }> {
  override state = { error: undefined as unknown, failed: false };

  static getDerivedStateFromError(error: unknown): { error: unknown; failed: boolean } {
    return { error, failed: true };
  }

  override render(): ReactNode {
    return this.state.failed ? <Broken error={this.state.error} /> : this.props.children;
  }
}
