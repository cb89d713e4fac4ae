/** A static file server for tests, like any host of static files, with chosen headers. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
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
  return { url: `${await listen(server)}/${at}`, close: () => stop(server) };
}

/** The origin at which it listens, on the loopback address. */
export async function listen(server: Server) {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** May be called again. */
export async function stop(server: Server) {
  server.closeAllConnections();
  if (server.listening) await server[Symbol.asyncDispose]();
}

/** The address of such a server for the tests of one file. */
export async function served(...asked: Parameters<typeof serveFolder>) {
  const { url, close } = await serveFolder(...asked);
  afterAll(close);
  return url;
}
