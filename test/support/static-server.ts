/** A static file server for tests, as any host of static files is, with headers of choice. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import sirv from "sirv";

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
  const serve = sirv(folder, {
    dev: true, // reads the folder at every request
    setHeaders: (response) => void response.setHeaders(new Map(Object.entries(headers))),
  });
  const server = createServer((request, response) => {
    const { url = "/" } = request;
    if (!url.startsWith(`/${at}`)) return void response.writeHead(404).end();
    request.url = url.slice(at.length);
    serve(request, response);
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
