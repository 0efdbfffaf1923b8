import "./page.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { nonceForStyles } from "./csp";
import { begin } from "./i18n";

const root = document.getElementById("root");
if (root === null) throw new Error("the page has no root");
nonceForStyles();
await begin();
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
