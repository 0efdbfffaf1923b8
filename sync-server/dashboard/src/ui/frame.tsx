import { DownOutlined, LogoutOutlined, UserOutlined } from "@ant-design/icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Badge, Button, Dropdown, Layout, Menu, type MenuProps } from "antd";
import { useEffect, useRef, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, Outlet, useLocation, useNavigate } from "react-router";
import { api } from "../api/client";
import { useLive } from "../api/live";
import { told } from "../api/problem";
import { session, settings, today } from "../api/queries";
import type { Me } from "../api/types";
import { GROUPS, SCREENS } from "../routes";
import { word } from "../words";
import { Boundary } from "./boundary";
import { Finder } from "./finder";
import { LanguageSwitch } from "./language";
import { Failed, Loading } from "./state";

/** What the screens of one's roles are, and what waits there. */
function Navigation({ me }: { me: Me }): ReactNode {
  const { t } = useTranslation();
  const { pathname } = useLocation();
  const waiting = useQuery(today).data;
  const mine = SCREENS.filter(({ nav }) => nav && (!nav.roles || nav.roles.some((role) => me.roles.includes(role))));
  const here = mine.filter((s) => (s.path === "/" ? pathname === "/" : pathname.startsWith(s.path))).map((s) => s.path);
  const items = GROUPS.flatMap((group): NonNullable<MenuProps["items"]> => {
    const children = mine
      .filter((screen) => screen.nav?.group === group)
      .map(({ path, nav }) => {
        const count = waiting ? (nav?.waits?.(waiting) ?? 0) : 0;
        return {
          key: path,
          icon: nav?.icon,
          label: (
            <Link to={path} style={{ display: "flex", alignItems: "center", justifyContent: "space-between" }}>
              {nav && t(nav.label)}
              {count > 0 && <Badge count={count} size="small" color="#8a4b00" overflowCount={999} />}
            </Link>
          ),
        };
      });
    if (children.length === 0) return [];
    return group === "day" ? children : [{ type: "group", key: group, label: t(`nav.group.${group}`), children }];
  });
  return <Menu mode="inline" selectedKeys={here} items={items} aria-label={t("nav.label")} />;
}

function UserMenu({ me }: { me: Me }): ReactNode {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const navigate = useNavigate();
  const client = useQueryClient();
  const signOut = async (): Promise<void> => {
    try {
      await api.DELETE("/api/session");
      await navigate("/login", { replace: true });
      client.clear();
    } catch (error) {
      void message.error(told(t, error));
    }
  };
  return (
    <Dropdown
      trigger={["click"]}
      menu={{
        items: [
          {
            key: "who",
            disabled: true,
            label: (
              <>
                {me.name} · {me.login}
                <br />
                {me.roles.map((role) => word("role", role)).join("、")}
              </>
            ),
          },
          { type: "divider" },
          { key: "account", icon: <UserOutlined />, label: t("user.account"), onClick: () => void navigate("/account") },
          { key: "out", icon: <LogoutOutlined />, label: t("user.sign_out"), onClick: () => void signOut() },
        ],
      }}
    >
      <Button type="text" size="small">
        {me.name} <DownOutlined style={{ fontSize: 10 }} />
      </Button>
    </Dropdown>
  );
}

function Standing({ me }: { me: Me }): ReactNode {
  const { t } = useTranslation();
  const line = useLive();
  const { pathname } = useLocation();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    // Whoever goes on by keyboard or screen reader starts at the new page, not in the navigation.
    if (!first.current) main.current?.focus();
    first.current = false;
  }, [pathname]);
  return (
    <Layout hasSider style={{ minHeight: "100vh" }}>
      <a className="skip" href="#main">
        {t("nav.skip")}
      </a>
      <Layout.Sider className="frame-sider" width={200} collapsedWidth={0} breakpoint="md" theme="light">
        <div className="frame-brand" title={me.company}>
          <img src="/favicon.svg" alt="" width={22} height={22} />
          <span className="clip">{me.company || t("app.name")}</span>
        </div>
        <nav aria-label={t("nav.label")}>
          <Navigation me={me} />
        </nav>
      </Layout.Sider>
      <Layout>
        <Layout.Header className="frame-header">
          <Finder />
          <div className="grow" />
          <span className={`line line-${line}`} role="status">
            {t(`line.${line}`)}
          </span>
          <LanguageSwitch />
          <UserMenu me={me} />
        </Layout.Header>
        <main id="main" ref={main} tabIndex={-1} className="frame-main">
          <Boundary key={pathname}>
            <Outlet />
          </Boundary>
        </main>
      </Layout>
    </Layout>
  );
}

/** Around every page: who is signed in, where one can go, whether what is shown is up to date. */
export function Frame(): ReactNode {
  const who = useQuery(session);
  // Every time is shown by the company's clock, so that is known first.
  const company = useQuery({ ...settings, enabled: who.isSuccess });
  if (who.data && (company.isSuccess || company.isError)) return <Standing me={who.data} />;
  return who.isError ? <Failed error={who.error} again={() => void who.refetch()} /> : <Loading />;
}
