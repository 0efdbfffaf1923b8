import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { App as AntApp, ConfigProvider } from "antd";
import { useEffect, useMemo, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { createBrowserRouter, Navigate, RouterProvider } from "react-router";
import { Problem } from "./api/problem";
import { nonce } from "./csp";
import { antdLocale } from "./i18n";
import { SCREENS } from "./routes";
import { theme } from "./theme";
import { Boundary, RouteBroken } from "./ui/boundary";
import { Frame } from "./ui/frame";
import { Loading } from "./ui/state";

function routes(): ReturnType<typeof createBrowserRouter> {
  return createBrowserRouter([
    {
      path: "/login",
      HydrateFallback: Loading,
      ErrorBoundary: RouteBroken,
      lazy: async () => ({ Component: (await import("./pages/login")).default }),
    },
    {
      path: "/",
      element: <Frame />,
      ErrorBoundary: RouteBroken,
      HydrateFallback: Loading,
      children: [
        ...SCREENS.map((screen) => ({
          path: screen.path,
          ErrorBoundary: RouteBroken,
          lazy: async () => ({ Component: (await screen.load()).default }),
        })),
        { path: "*", element: <Navigate to="/" replace /> },
      ],
    },
  ]);
}

export function App(): ReactNode {
  const { i18n } = useTranslation();
  const router = useMemo(() => routes(), []);
  const client = useMemo(() => {
    const signedOut = (error: unknown): void => {
      if (!(error instanceof Problem) || error.status !== 401) return;
      const { pathname, search } = window.location;
      if (pathname !== "/login") void router.navigate(`/login?next=${encodeURIComponent(pathname + search)}`, { replace: true });
    };
    return new QueryClient({
      queryCache: new QueryCache({ onError: signedOut }),
      mutationCache: new MutationCache({ onError: signedOut }),
      defaultOptions: {
        queries: {
          staleTime: 15_000,
          retry: (tried, error) => error instanceof Problem && error.passing && tried < 3,
        },
        mutations: { networkMode: "always" },
      },
    });
  }, [router]);
  useEffect(() => {
    // The server was updated meanwhile, and the file asked for is one of the old page.
    const stale = (event: Event): void => {
      event.preventDefault();
      window.location.reload();
    };
    window.addEventListener("vite:preloadError", stale);
    return () => window.removeEventListener("vite:preloadError", stale);
  }, []);
  return (
    <ConfigProvider
      theme={theme}
      componentSize="middle"
      button={{ autoInsertSpace: false }}
      {...(nonce ? { csp: { nonce } } : {})}
      {...(antdLocale() ? { locale: antdLocale() } : {})}
      key={i18n.language}
    >
      <AntApp style={{ height: "100%" }}>
        <Boundary>
          <QueryClientProvider client={client}>
            <RouterProvider router={router} />
          </QueryClientProvider>
        </Boundary>
      </AntApp>
    </ConfigProvider>
  );
}
