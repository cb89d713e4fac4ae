/**
 * Files behind URLs. Large ones are read in ranges (RFC 9110, section 14) of at least 8 MiB, so a model is never in
 * memory as a whole. Servers without ranges send all at once, as a Blob that the browser may keep on disk. Left out:
 * resuming a transfer that was cut.
 */
import { ModelError } from "../errors.js";
import type { FolderFile } from "../model/index.js";
import { blobFile } from "./blob-file.js";

/** Tensors are read in about the order of the file. */
const LEAST_RANGE = 2 ** 23;

/** Fetches a file as a whole; undefined if there is none. */
export async function wholeFile(href: string): Promise<FolderFile | undefined> {
  const response = await fetchFile(href);
  return response && blobFile(href, await response.blob());
}

/** Reads a file in ranges if its server knows them and shows its size; undefined if there is none. */
export async function rangedFile(href: string): Promise<FolderFile | undefined> {
  const response = await fetchFile(href, "bytes=0-0");
  if (response === undefined) return undefined;
  if (response.status !== 206) return blobFile(href, await response.blob());
  const size = Number(/\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1]);
  if (!Number.isSafeInteger(size)) return wholeFile(href); // the header is hidden from pages of other origins
  let window = { begin: 0, bytes: new Uint8Array(0) };
  return {
    path: href,
    size,
    async read(begin, end) {
      const stop = Math.min(end, size);
      if (stop <= begin) return new Uint8Array(0);
      if (begin < window.begin || stop > window.begin + window.bytes.length) {
        const last = Math.min(size, Math.max(stop, begin + LEAST_RANGE)) - 1;
        window = { begin, bytes: await fetchRange(href, begin, last) };
      }
      return window.bytes.slice(begin - window.begin, stop - window.begin);
    },
  };
}

/** Bytes first to last, both included; fewer if the file has become shorter. */
async function fetchRange(href: string, first: number, last: number): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetchFile(href, `bytes=${first}-${last}`);
  if (response?.status !== 206) throw failed(href, `no bytes ${first} to ${last}; did the file change?`);
  return new Uint8Array(await response.arrayBuffer());
}

/** undefined if there is no such file. Throws a ModelError `fetch-failed`. */
async function fetchFile(href: string, range?: string): Promise<Response | undefined> {
  const response = await fetch(href, range === undefined ? {} : { headers: { range } }).catch((error: unknown) => {
    throw failed(href, String(error), error);
  });
  // Servers of single-page apps often answer with their page if there is no file; a model has no HTML.
  if (response.status === 404 || response.headers.get("content-type")?.startsWith("text/html") === true) {
    return undefined;
  }
  if (!response.ok) throw failed(href, `status ${response.status}`);
  return response;
}

function failed(href: string, found: string, cause?: unknown): ModelError {
  const url = href.replace(/\?.*$/, ""); // the query may carry an access token
  return new ModelError(
    "fetch-failed",
    `${url}: cannot be fetched (${found}); check the address, and that its server allows this page`,
    { url },
    { cause },
  );
}
