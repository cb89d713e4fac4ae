/** Loads what stands on the packages that only a server needs (hono, zod, prom-client), which may be left out. */
import { ServeError } from "./serve-error.js";

/** Throws a ServeError that says what to install. */
export async function loadServer() {
  try {
    const [{ createApp }, { serve }] = await Promise.all([import("./app.js"), import("@hono/node-server")]);
    return { createApp, serve };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new ServeError(
      "serve-packages",
      "serve: hono, @hono/node-server, zod and prom-client, which only servers need, are not all installed: " +
        "npm install --include=optional",
      {},
      { cause: error },
    );
  }
}
