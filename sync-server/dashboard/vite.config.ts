import react from "@vitejs/plugin-react";
import { compression } from "vite-plugin-compression2";
import { defineConfig } from "vitest/config";
import { words } from "./words.ts";

/** Where `npm run dev` finds a running `onsite serve`. */
const SERVER = process.env.ONSITE_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [
    react(),
    words(),
    compression({
      algorithms: ["gzip", "brotliCompress"],
      include: /\.(js|css|svg|json)$/,
      threshold: 1024,
    }),
  ],
  build: {
    manifest: true,
    target: "es2022",
    // Every file of its own, so that the policy needs no `data:` scripts or styles.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
  },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/print"].map((path) => [path, { target: SERVER, changeOrigin: false }]),
    ),
  },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["src/**/*.test.{ts,tsx}"],
          environment: "jsdom",
          setupFiles: ["src/testing/setup.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["e2e/**/*.test.ts"],
          environment: "node",
          testTimeout: 120_000,
          hookTimeout: 180_000,
          // Each file starts its own server; two cores hold one at a time.
          fileParallelism: false,
        },
      },
    ],
  },
});
