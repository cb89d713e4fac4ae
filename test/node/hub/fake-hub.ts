/**
 * A Hub on the loopback address: the API, files, a CDN of another origin to which LFS files are redirected, refusals,
 * and faults on demand.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { listen, stop } from "../../support/static-server.js";

export interface FakeRepo {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Revisions besides the commit and "main". */
  readonly revisions?: readonly string[];
  /** The token that requests need. */
  readonly token?: string;
  readonly gated?: boolean;
}

export interface SeenRequest {
  /** "hub" or "cdn". */
  readonly at: "hub" | "cdn";
  readonly method: string;
  readonly path: string;
  readonly token: string | undefined;
  /** Bytes of the body that were sent. */
  sent: number;
}

export interface FakeHub {
  readonly url: string;
  /** All requests, in order. */
  readonly seen: SeenRequest[];
  readonly repos: Record<string, FakeRepo>;
  /** Responds to a request and returns true, or leaves it to the Hub. */
  fault: ((request: SeenRequest, response: ServerResponse) => boolean) | undefined;
  /** Changes the body of a response with a file. */
  damage: ((request: SeenRequest, body: Uint8Array) => Uint8Array) | undefined;
  /** Each entry interrupts one response of the CDN: after so many bytes the connection is closed, or stalls. */
  readonly interruptions: { readonly after: number; readonly how: "cut" | "stall" }[];
  /** Bytes a second of bodies. */
  speed: number;
  close(): Promise<void>;
}

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
export const gitSha1 = (bytes: Uint8Array) =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

const isLfs = (path: string) => /\.(?:safetensors|gguf|bin)$/.test(path);

export async function startFakeHub(repos: Record<string, FakeRepo>) {
  const hub: FakeHub = {
    url: "",
    seen: [],
    repos,
    fault: undefined,
    damage: undefined,
    interruptions: [],
    speed: Infinity,
    close: () => Promise.all([main, cdn].map(stop)).then(() => undefined),
  };
  const cdn = createServer((request, response) => void answerCdn(hub, request, response));
  const files = await listen(cdn);
  const main = createServer((request, response) => void answerHub(hub, files, request, response));
  return Object.assign(hub, { url: await listen(main) });
}

function note(hub: FakeHub, at: SeenRequest["at"], { method = "", url = "", headers }: IncomingMessage) {
  const seen: SeenRequest = {
    at,
    method,
    path: decodeURIComponent(url.replace(/\?.*/, "")),
    token: headers.authorization?.replace("Bearer ", ""),
    sent: 0,
  };
  hub.seen.push(seen);
  return seen;
}

async function answerHub(
  hub: FakeHub,
  cdn: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<unknown> {
  const seen = note(hub, "hub", request);
  if (hub.fault?.(seen, response)) return undefined;
  const refuse = (status: number, reason: string) =>
    response
      .writeHead(status, { "x-error-code": reason, "content-type": "application/json" })
      .end(JSON.stringify({ error: reason }));

  const [, name, asked, revision, path] =
    /^\/(?:api\/models\/)?([^/]+\/[^/]+)\/(revision|paths-info|resolve)\/(refs\/pr\/\d+|[^/]+)(?:\/(.*))?$/.exec(
      seen.path,
    ) ?? [];
  const repo = name === undefined ? undefined : hub.repos[name];
  if (repo === undefined) return refuse(401, "RepoNotFound");
  if (repo.token !== undefined && seen.token !== repo.token) {
    return repo.gated ? refuse(403, "GatedRepo") : refuse(401, seen.token === undefined ? "RepoNotFound" : "");
  }
  if (![COMMIT, "main", ...(repo.revisions ?? [])].includes(revision!)) return refuse(404, "RevisionNotFound");
  const json = (answer: unknown) =>
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  if (asked === "revision") {
    const siblings = Object.keys(repo.files).map((rfilename) => ({ rfilename }));
    const info = { _id: "1", id: name, sha: COMMIT, private: false, lastModified: "2026-01-01T00:00:00Z", siblings };
    return json(info);
  }
  if (asked === "paths-info") {
    const { paths } = JSON.parse(await textIn(request)) as { readonly paths: readonly string[] };
    return json(paths.flatMap((one) => (repo.files[one] === undefined ? [] : [describeFile(one, repo.files[one])])));
  }
  const bytes = repo.files[path!];
  if (bytes === undefined) return refuse(404, "EntryNotFound");
  if (!isLfs(path!)) return send(hub, seen, response, bytes);
  return response.writeHead(302, { location: `${cdn}/${name!}/${path!}?signature=1` }).end();
}

/** A file as paths-info describes it; of an LFS file, `oid` is that of its pointer. */
function describeFile(path: string, bytes: Uint8Array) {
  const lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 134 };
  const common = { type: "file", path, size: bytes.length };
  return isLfs(path) ? { ...common, oid: COMMIT, lfs } : { ...common, oid: gitSha1(bytes) };
}

async function textIn(request: IncomingMessage) {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

async function answerCdn(hub: FakeHub, request: IncomingMessage, response: ServerResponse) {
  const seen = note(hub, "cdn", request);
  if (hub.fault?.(seen, response)) return;
  const [, name, path] = /^\/([^/]+\/[^/]+)\/(.*)$/.exec(seen.path) ?? [];
  await send(hub, seen, response, hub.repos[name!]!.files[path!]!);
}

async function send(hub: FakeHub, seen: SeenRequest, response: ServerResponse, whole: Uint8Array) {
  const body = hub.damage?.(seen, whole) ?? whole;
  response.writeHead(200, { "content-length": String(body.length) });
  response.flushHeaders();
  const interruption = seen.at === "cdn" ? hub.interruptions.shift() : undefined;
  const end = Math.min(body.length, interruption?.after ?? Infinity);
  const step = hub.speed === Infinity ? end : Math.ceil(hub.speed / 50);
  for (; seen.sent < end && !response.destroyed; seen.sent = Math.min(end, seen.sent + step)) {
    if (step < end) await new Promise((resolve) => setTimeout(resolve, 20));
    await new Promise((resolve) => response.write(body.subarray(seen.sent, Math.min(end, seen.sent + step)), resolve));
  }
  if (interruption === undefined) response.end();
  else if (interruption.how === "cut") response.destroy();
}
