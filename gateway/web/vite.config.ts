import { defineConfig } from "vite";

/** `npm run dev` proxies to a running gateway; the build goes to the folder that the wheel ships. */
const gateway = process.env["KAIKOU_GATEWAY"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "chrome109",
    assetsInlineLimit: 0,
    reportCompressedSize: true,
  },
  server: {
    host: "127.0.0.1",
    port: 5173,
    proxy: {
      "/api": { target: gateway, ws: true },
      "/healthz": gateway,
    },
  },
});
