import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, Button, Divider, Form, Input } from "antd";
import { useEffect, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useSearchParams } from "react-router";
import { api } from "../api/client";
import { Problem, told } from "../api/problem";
import { waysToSignIn } from "../api/queries";
import { LanguageSwitch } from "../ui/language";
import { next } from "./login/next";

export default function Login(): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [params] = useSearchParams();
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const failed = params.get("problem");
  const [error, setError] = useState(() => (failed === null ? "" : told(t, new Problem(409, failed, ""))));
  const ways = useQuery(waysToSignIn).data;
  const to = next(params.get("next"), globalThis.location.origin);
  // Signed in by the identity provider, on the way to a form: that way is this page's own from here on.
  const entered = params.has("entered");
  useEffect(() => {
    if (entered) globalThis.location.replace(to);
  }, [entered, to]);

  const signIn = async (said: { login: string; password: string }): Promise<void> => {
    setBusy(true);
    setError("");
    try {
      await api.POST("/api/session", { body: said });
      // Nothing of whoever was signed in before stays.
      client.clear();
      // A form to be printed is no page of this program.
      if (to.startsWith("/api/")) globalThis.location.assign(to);
      else await navigate(to, { replace: true });
    } catch (failure) {
      setError(told(t, failure));
      setBusy(false);
    }
  };

  return (
    <main className="login">
      <div className="login-card">
        <h1>
          <img src="/favicon.svg" alt="" width={28} height={28} />
          {t("app.name")}
        </h1>
        <p>{t("login.welcome")}</p>
        <Form layout="vertical" requiredMark={false} onFinish={(said: { login: string; password: string }) => void signIn(said)}>
          <Form.Item name="login" label={t("login.login")} rules={[{ required: true, message: t("login.login_missing") }]}>
            <Input autoFocus autoComplete="username" autoCapitalize="none" spellCheck={false} />
          </Form.Item>
          <Form.Item name="password" label={t("login.password")} rules={[{ required: true, message: t("login.password_missing") }]}>
            <Input.Password autoComplete="current-password" />
          </Form.Item>
          {error && <Alert type="error" showIcon title={error} style={{ marginBottom: 14 }} />}
          <Button type="primary" htmlType="submit" block loading={busy}>
            {t("login.sign_in")}
          </Button>
        </Form>
        {ways?.oidc != null && (
          <>
            <Divider plain>{t("login.or")}</Divider>
            <Button block href={`/api/session/oidc?${new URLSearchParams({ next: to }).toString()}`}>
              {t("login.oidc", { name: ways.oidc })}
            </Button>
          </>
        )}
        <div className="login-foot">
          <LanguageSwitch />
        </div>
      </div>
    </main>
  );
}
