/**
 * Findings in a store, for work that is resumed or shared by processes. A file is named by all that its finding is a
 * function of, this version of the library included, and ends with the SHA-256 of what stands before. So nothing else
 * is found, and what a disk changed is noticed; what someone mended, checksum and all, has to have a legal shape.
 */
import { EarlyExitError } from "../../errors.js";
import { sha256 } from "../../model/sha256.js";
import { libraryVersion } from "../../version.js";
import type { CacheStore } from "./record-states.js";

/** Characters of a SHA-256. */
const HASH = 64;
const utf8 = new TextEncoder();

export async function findingName(kind: string, madeOf: readonly unknown[]): Promise<string> {
  return `${kind}-${(await sha256(JSON.stringify([libraryVersion, ...madeOf]))).slice(0, HASH / 2)}`;
}

/**
 * Undefined if there is none. Throws an EarlyExitError ("store-damaged") if the checksum does not fit, or if `parse`
 * returns undefined or throws.
 */
export async function readFinding<Finding>(
  store: CacheStore,
  name: string,
  parse: (bytes: Uint8Array) => Finding | undefined,
): Promise<Finding | undefined> {
  const file = await store.read(name);
  if (file === undefined) return undefined;
  const bytes = file.slice(0, Math.max(0, file.length - HASH));
  const hash = new TextDecoder().decode(file.subarray(bytes.length));
  let cause: unknown;
  try {
    const finding = hash === (await sha256(bytes)) ? parse(bytes) : undefined;
    if (finding !== undefined) return finding;
  } catch (error) {
    cause = error;
  }
  throw new EarlyExitError(
    "store-damaged",
    `store: ${name} holds something else than was written; delete this file, and the same command makes it again`,
    { name },
    { cause },
  );
}

export async function writeFinding(store: CacheStore, name: string, bytes: Uint8Array): Promise<void> {
  const file = new Uint8Array(bytes.length + HASH);
  file.set(bytes);
  file.set(utf8.encode(await sha256(bytes)), bytes.length);
  await store.write(name, file);
}

type Mapping = (key: string, value: unknown) => unknown;

export function jsonIn(bytes: Uint8Array, map?: Mapping): unknown {
  return JSON.parse(new TextDecoder().decode(bytes), map);
}

export function jsonOf(value: unknown, map?: Mapping): Uint8Array {
  return utf8.encode(JSON.stringify(value, map));
}

/** True for an integer in [0, most]. */
export function isCount(value: unknown, most = Number.MAX_SAFE_INTEGER): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
}
