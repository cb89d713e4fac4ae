/**
 * Downloads one file of the Hub to its place among the blobs of the cache: goes on where an earlier download stopped
 * (by a Range request; the part's name is the checksum, so it is a part of this very file), tries again when the
 * connection breaks or stalls, compares the checksum, and renames.
 *
 * `downloadFileToCacheDir` of @huggingface/hub does none of this: it begins anew, overwrites the part that another
 * process is writing, compares no checksum, reports no progress, and prints.
 */
import { HubError } from "../../errors.js";
import type { ClientOptions, RemoteFile } from "./hub-client.js";
import { answerError, type Asked, statusError } from "./hub-errors.js";
import { PartialBlob } from "./partial-blob.js";
import { type Answer, request } from "./request.js";
import { withRetries } from "./retry.js";

/** Downloads `remote` into the folder `blobs`; `onBytes` is told how many bytes are there. */
export async function fetchBlob(
  remote: RemoteFile,
  asked: Asked,
  blobs: string,
  options: ClientOptions,
  onBytes: (received: number) => void,
): Promise<void> {
  const part = await PartialBlob.open(blobs, remote);
  let finished = false;
  try {
    onBytes(part.length);
    const resumed = part.length > 0;
    await fill(part, remote, asked, options, onBytes);
    if (!part.isWhole() && resumed) {
      // What an earlier process left may be damaged.
      await part.clear();
      await fill(part, remote, asked, options, onBytes);
    }
    if (!part.isWhole()) {
      await part.clear();
      throw new HubError(
        "hub-checksum",
        `${remote.what}: the downloaded bytes do not have the checksum ${remote.checksum} that the Hub names; they ` +
          "were discarded. Try again; if it fails again, the file or a proxy on the way is damaged",
        { what: remote.what, checksum: remote.checksum },
      );
    }
    await part.finish();
    finished = true;
  } finally {
    if (!finished) await part.release();
  }
}

/** Appends to the part until it has the size of the file. */
async function fill(
  part: PartialBlob,
  remote: RemoteFile,
  asked: Asked,
  options: ClientOptions,
  onBytes: (received: number) => void,
): Promise<void> {
  await withRetries(options, async (progressed) => {
    if (part.length === remote.size) return;
    await part.requireSpace();
    const answer = await openAt(part, remote, asked, options);
    for await (const chunk of answer.chunks()) {
      if (part.length + chunk.length > remote.size) {
        await part.clear();
        throw answerError(remote.what, `it has more than the ${remote.size} bytes that were announced`);
      }
      await part.append(chunk);
      progressed();
      onBytes(part.length);
    }
    if (part.length < remote.size) {
      throw new HubError(
        "hub-network",
        `${remote.what}: the connection ended after ${part.length} of ${remote.size} bytes; run it again, and the ` +
          "download goes on from there",
        { what: remote.what, received: part.length, size: remote.size },
      );
    }
  });
}

/** The body from where the part ends; the part is cleared if the server sends the whole file. */
async function openAt(part: PartialBlob, remote: RemoteFile, asked: Asked, options: ClientOptions): Promise<Answer> {
  const { token, timeout, signal } = options;
  const from = part.length;
  const headers: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` };
  const answer = await request(remote.url, { what: remote.what, token, timeout, signal, headers });
  const { status } = answer.response;
  if (status === 206 && from > 0) {
    const range = answer.response.headers.get("content-range") ?? "";
    const [, begin, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(range) ?? [];
    if (Number(begin) === from && Number(total) === remote.size) return answer;
    await answer.close();
    throw answerError(remote.what, `bytes from ${from} of ${remote.size} were asked for, and "${range}" came`);
  }
  if (status === 200) {
    if (from > 0) await part.clear();
    return answer;
  }
  await answer.close();
  throw elsewhere(remote, answer, options) ?? statusError(asked, answer.response);
}

/** A CDN refuses links that have expired: a new one is to be had from the Hub. */
function elsewhere({ what }: RemoteFile, { response }: Answer, { endpoint }: ClientOptions): HubError | undefined {
  const { host, origin } = new URL(response.url);
  if (origin === new URL(endpoint).origin || ![400, 401, 403, 410].includes(response.status)) return undefined;
  return new HubError("hub-server", `${what}: ${host} refused its link (status ${response.status}); try again later`, {
    what,
    status: response.status,
  });
}
