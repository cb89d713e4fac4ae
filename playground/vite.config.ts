import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { withContentSecurityPolicy } from "./content-security-policy.js";
import { SERVICE_WORKER, withOfflineFiles } from "./offline-files.js";

const source = (path: string): string => fileURLToPath(new URL(`../src/${path}`, import.meta.url));
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const outDir = here("dist");

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
  plugins: [withContentSecurityPolicy(), withOfflineFiles(outDir)],
  worker: { format: "es" },
  build: {
    target: "es2023",
    outDir,
    emptyOutDir: true,
    rolldownOptions: {
      input: { index: here("index.html"), [SERVICE_WORKER]: here(`src/${SERVICE_WORKER}.ts`) },
      // A service worker answers for the folder in which it lies, and its name must not change.
      output: { entryFileNames: ({ name }) => (name === SERVICE_WORKER ? "[name].js" : "assets/[name]-[hash].js") },
    },
  },
  server: { headers },
  preview: { headers },
});
