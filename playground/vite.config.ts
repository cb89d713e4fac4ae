import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { withContentSecurityPolicy } from "./content-security-policy.js";

const source = (path: string): string => fileURLToPath(new URL(`../src/${path}`, import.meta.url));

/** Threads need these headers. A host of static files that does not send them gets one thread. */
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export default defineConfig({
  root: import.meta.dirname,
  base: "./", // the built files work from any path
  resolve: {
    alias: [
      { find: /^early-exits$/, replacement: source("index.ts") },
      { find: /^early-exits\/(\w+)$/, replacement: source("$1/index.ts") },
    ],
  },
  plugins: [withContentSecurityPolicy()],
  worker: { format: "es" },
  build: { target: "es2023", outDir: "dist", emptyOutDir: true },
  server: { headers },
  preview: { headers },
});
