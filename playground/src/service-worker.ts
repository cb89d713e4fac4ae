/**
 * Serves the built page from a cache, so that it works without a network after the first visit. It answers for the
 * files of one build, which the build has written into it (../offline-files.ts), and for the folders that the build has
 * filled: not for other paths below its own, not for other servers, not for parts of files. A new build has another
 * cache, and takes over when all pages of the old one are closed, so that no page is made of two builds. The
 * development server has none.
 */

/** The build's files, relative to the page; "" is the page itself. Written by the build, and their hash too. */
declare const OFFLINE_FILES: readonly string[];
declare const OFFLINE_VERSION: string;

interface WorkerEvent extends Event {
  waitUntil(done: Promise<unknown>): void;
}

interface FetchEvent extends WorkerEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

/** Members that a service worker has and a page has not. */
interface ServiceWorkerScope {
  readonly registration: ServiceWorkerRegistration;
  readonly clients: { claim(): Promise<void> };
  addEventListener(type: "install" | "activate", listener: (event: WorkerEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
}

const worker = globalThis as unknown as ServiceWorkerScope;
const { scope } = worker.registration;
/** Other folders of the same server may hold other builds. */
const family = `early-exits ${scope} `;
const name = family + OFFLINE_VERSION;
const files = new Set(OFFLINE_FILES.map((file) => new URL(file, scope).href));
/** Folders that the build has filled: what they lack does not exist, which no network need be asked. */
const folders = new Set([...files].filter((file) => file !== scope).map(folderOf));
folders.delete(scope);
/** The other name of the page. */
const index = new URL("index.html", scope).href;

worker.addEventListener("install", (event) => {
  event.waitUntil(store());
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(removeOlder().then(() => worker.clients.claim()));
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || request.headers.has("range")) return;
  const { origin, pathname } = new URL(request.url);
  const asked = origin + pathname;
  const file = asked === index ? scope : asked;
  if (files.has(file)) event.respondWith(stored(file, request));
  else if (folders.has(folderOf(file))) event.respondWith(Promise.resolve(new Response(null, { status: 404 })));
});

function folderOf(file: string): string {
  return file.slice(0, file.lastIndexOf("/") + 1);
}

/** Stores all files, or none. They are asked for anew, because the browser may have kept those of an old build. */
async function store(): Promise<void> {
  const cache = await caches.open(name);
  await cache.addAll([...files].map((file) => new Request(file, { cache: "no-cache" })));
}

async function removeOlder(): Promise<void> {
  for (const other of await caches.keys()) {
    if (other.startsWith(family) && other !== name) await caches.delete(other);
  }
}

async function stored(file: string, request: Request): Promise<Response> {
  const cache = await caches.open(name);
  return (await cache.match(file)) ?? fetch(request);
}

export {};
