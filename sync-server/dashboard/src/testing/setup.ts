import { afterEach, beforeAll } from "vitest";
import { cleanup } from "@testing-library/react";
import { begin } from "../i18n";

// What browsers have and jsdom does not, as far as Ant Design asks for it.
window.matchMedia = (query: string) =>
  ({ matches: false, media: query, addEventListener: () => undefined, removeEventListener: () => undefined, dispatchEvent: () => false, onchange: null }) as unknown as MediaQueryList;
globalThis.ResizeObserver = class {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
};

beforeAll(() => begin("zh-CN"));
afterEach(cleanup);
