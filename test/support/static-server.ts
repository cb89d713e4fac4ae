/** A static file server for tests, like any host of static files, with chosen headers. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import sirv from "sirv";
import { afterAll } from "vitest";

export interface ServeOptions {
  /** The path below which the folder appears, without a leading slash. @default "" */
  readonly at?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Serves a folder below `/` + `at`; the address ends with a slash. */
export async function serveFolder(folder: string, { at = "", headers = {} }: ServeOptions = {}) {
  const serve = sirv(folder, { dev: true }); // reads the folder at every request
  const server = createServer((request, response) => {
    const { url = "/" } = request;
    response.setHeaders(new Map(Object.entries(headers))); // of answers that a file is missing too
    if (!url.startsWith(`/${at}`)) return void response.writeHead(404).end();
    request.url = url.slice(at.length);
    serve(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${at}`,
    close: () =>
      new Promise<void>((resolve, reject) => {
        server.closeAllConnections();
        server.close((error) => (error === undefined ? resolve() : reject(error)));
      }),
  };
}

/** The address of such a server for the tests of one file. */
export async function served(...asked: Parameters<typeof serveFolder>) {
  const { url, close } = await serveFolder(...asked);
  afterAll(close);
  return url;
}
