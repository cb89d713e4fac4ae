/**
 * A model behind OpenAI's HTTP API, on the loopback address unless told otherwise, with a key wherever other machines
 * can reach it. `close` takes no more requests, lets those under way end, and gives up the rest after a while.
 */
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { OptionError, requireInteger } from "early-exits";
import type { Audit } from "early-exits/calibrate";
import type { ExitHeads } from "early-exits/exits";
import type { Model } from "early-exits/model";
import { Batcher } from "./batcher.js";
import type { BatcherOptions } from "./batcher-options.js";
import { loadServer } from "./load-server.js";

export interface ServeOptions extends BatcherOptions {
  /** Name for clients. @default "early-exits" */
  readonly modelName?: string;
  /** @default "127.0.0.1" */
  readonly host?: string;
  /** 0 takes a free one. @default 8080 */
  readonly port?: number;
  /** Required if `host` is not a loopback address. @default none is asked for */
  readonly key?: string;
  /** Host names allowed beside the loopback ones and `host`. @default none */
  readonly hosts?: readonly string[];
  /** Mode where exits may not be used. @default "plain" */
  readonly otherwise?: "plain" | "lossless";
  /** Bytes of a body. @default 2^20 */
  readonly bodyBytes?: number;
  /** Milliseconds in which a client sends the headers of a request; then it is cut. @default 10,000 */
  readonly headersTime?: number;
  /** Milliseconds per request. @default 600,000 */
  readonly timeLimit?: number;
  /** Milliseconds that `close` waits for requests under way. @default 10,000 */
  readonly graceTime?: number;
  /** Receives a line per request, without its text. @default nothing is logged */
  readonly log?: (line: string) => void;
  /** Reads texts of the mode `exits`, which its alarm ends. @default no audit */
  readonly audit?: Audit;
}

export const serveDefaults = {
  modelName: "early-exits",
  host: "127.0.0.1",
  port: 8080,
  otherwise: "plain",
  bodyBytes: 2 ** 20,
  headersTime: 10_000,
  timeLimit: 600_000,
  graceTime: 10_000,
} as const satisfies ServeOptions;

export interface RunningServer {
  /** "http://127.0.0.1:8080" */
  readonly url: string;
  readonly batcher: Batcher;
  close(): Promise<void>;
}

/** True if a server that listens there is reachable from this machine only. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * Throws an OptionError for options that contradict, a PolicyError for a policy of others, and a ServeError if packages
 * of the server are not installed.
 */
export async function serveModel(source: Model | ExitHeads, options: ServeOptions = {}): Promise<RunningServer> {
  const { host, port, graceTime, headersTime, ...settings } = { ...serveDefaults, ...options };
  const { key, hosts = [], audit, policy, log = () => undefined } = options;
  requireInteger("serve: port", port, 0, 65_535);
  requireInteger("serve: bodyBytes", settings.bodyBytes, 1);
  requireInteger("serve: headersTime", headersTime, 1, BODY_TIME);
  requireInteger("serve: timeLimit", settings.timeLimit, 1, 2 ** 31 - 1);
  requireInteger("serve: graceTime", graceTime, 0, 2 ** 31 - 1);
  if (key === "") {
    throw new OptionError("serve-key", "serve: the key is empty, and nobody could send it; leave it out, or give one");
  }
  if (!isLoopback(host) && key === undefined) {
    throw new OptionError(
      "serve-key",
      `serve: ${host} can be reached from other machines, and there is no key; give one, or listen on 127.0.0.1`,
      { host },
    );
  }
  if (settings.otherwise === "lossless" && options.drafting === undefined) {
    throw new OptionError("serve-drafting", 'serve: otherwise is "lossless", and nothing drafts; give drafting');
  }
  const { createApp, serve } = await loadServer();
  const batcher = new Batcher(source, options);
  await batcher.prepare();
  const stopping = new AbortController();
  const app = createApp(batcher, {
    ...settings,
    key,
    hosts: [host, ...hosts],
    audit,
    policy,
    stopping: stopping.signal,
    now: Date.now,
    log,
  });
  const serverOptions = {
    headersTimeout: headersTime,
    requestTimeout: BODY_TIME,
    connectionsCheckingInterval: Math.min(LOOK_EVERY, headersTime),
  };
  const server = await listen(serve, { fetch: app.fetch, hostname: host, port, serverOptions });
  const { port: taken } = server.address() as AddressInfo;
  let closing: Promise<void> | undefined;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${taken}`,
    batcher,
    close: () => (closing ??= close(server, { batcher, audit, stopping, graceTime })),
  };
}

/** Milliseconds in which a client sends a request whole, and between two looks at clients that are late. */
const BODY_TIME = 300_000;
const LOOK_EVERY = 1000;

type Serve = Awaited<ReturnType<typeof loadServer>>["serve"];

/** Rejects if the port is taken. */
async function listen(serve: Serve, options: Parameters<Serve>[0]): Promise<Server> {
  const server = serve(options) as Server;
  await once(server, "listening");
  return server;
}

interface Closing {
  readonly batcher: Batcher;
  readonly audit: Audit | undefined;
  readonly stopping: AbortController;
  readonly graceTime: number;
}

async function close(server: Server, { batcher, audit, stopping, graceTime }: Closing): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  const timer = setTimeout(() => {
    stopping.abort(new Error("the server is closing"));
    setImmediate(() => {
      server.closeAllConnections();
    });
  }, graceTime);
  await batcher.close();
  await audit?.settled();
  // A connection that is kept alive becomes idle once its last answer is sent.
  const sweeper = setInterval(() => {
    server.closeIdleConnections();
  }, 20);
  await closed;
  clearInterval(sweeper);
  clearTimeout(timer);
}
