/** A static file server for tests: what any host of static files does, with headers of choice. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

export interface StaticServer {
  /** Ends with a slash. */
  readonly url: string;
  close(): Promise<void>;
}

/** Serves `folder` below `/` + `at`. */
export async function serveFolder(
  folder: string,
  { at = "", headers = {} }: { readonly at?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<StaticServer> {
  const server = createServer((request, response) => {
    void (async () => {
      const { pathname } = new URL(request.url ?? "/", "http://localhost");
      const path = normalize(decodeURIComponent(pathname));
      const file = path.startsWith(`/${at}`)
        ? join(folder, path.slice(at.length + 1), path.endsWith("/") ? "index.html" : "")
        : undefined;
      const found =
        file !== undefined &&
        (await stat(file).then(
          (stats) => stats.isFile(),
          () => false,
        ));
      if (!found) return void response.writeHead(404).end();
      response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream", ...headers });
      createReadStream(file).pipe(response);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${at}`,
    close: () =>
      new Promise((resolve, reject) => {
        server.closeAllConnections();
        server.close((error) => (error === undefined ? resolve() : reject(error)));
      }),
  };
}
