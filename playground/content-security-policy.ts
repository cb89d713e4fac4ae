/**
 * Permissions of the built page: its own files, WebAssembly, workers made of its own code, and models of the
 * Hugging Face Hub. Nothing of ours is inline. It is a meta tag, so that any host of static files enforces it; a host
 * that sends the policy as a header extends it to the worker, where the GPU device also needs 'unsafe-eval'
 * (examples/browser/README.md).
 */
import type { Plugin } from "vite";

/** Models come from the Hub's own hosts and from those that it redirects to. */
const HUB = "https://huggingface.co https://*.huggingface.co https://*.hf.co";

/** The one style sheet that Observable Plot 0.6.17 puts into its charts; another version may have another hash. */
const PLOT = "'sha256-jSYQUrW7J0b3jPqhZP9C2Xh1PyJKHKXd4s0fpGGKrww='";

const contentSecurityPolicy = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  `style-src 'self' ${PLOT}`,
  "worker-src 'self' blob:",
  `connect-src 'self' blob: ${HUB}`,
  "img-src 'self' data:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** Puts the policy into the built page; the development server injects styles and scripts of its own. */
export function withContentSecurityPolicy(): Plugin {
  return {
    name: "content-security-policy",
    apply: "build",
    transformIndexHtml: () => [
      {
        tag: "meta",
        attrs: { "http-equiv": "Content-Security-Policy", content: contentSecurityPolicy },
        injectTo: "head-prepend",
      },
    ],
  };
}
