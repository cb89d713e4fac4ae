/**
 * Downloads one file of the Hub into the cache. A Range request resumes an earlier download, whose partial file is
 * named after the checksum and therefore belongs to the same contents. The download is retried if the connection breaks
 * or stalls. The file is renamed to its final name once its checksum is right.
 *
 * `downloadFileToCacheDir` of @huggingface/hub does none of this. It always starts from the beginning, overwrites the
 * partial file of another process, does not check the checksum, does not report progress, and prints to the console.
 */
import { HubError } from "../../errors.js";
import type { ClientOptions, RemoteFile } from "./hub-client.js";
import { answerError, type Asked, statusError } from "./hub-errors.js";
import { PartialBlob } from "./partial-blob.js";
import { type Answer, request } from "./request.js";
import { withRetries } from "./retry.js";

/** Downloads `remote` into the folder `blobs`; `onBytes` receives the number of bytes downloaded so far. */
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
      // The partial file of an earlier process may be damaged.
      await part.clear();
      await fill(part, remote, asked, options, onBytes);
    }
    if (!part.isWhole()) {
      await part.clear();
      throw new HubError(
        "hub-checksum",
        `${remote.what}: the downloaded bytes do not match the Hub's checksum ${remote.checksum} and ` +
          "were discarded. Try again; if this happens again, the file on the server is damaged, or a proxy changes it",
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
        throw answerError(remote.what, `it has more than the ${remote.size} bytes announced before`);
      }
      await part.append(chunk);
      progressed();
      onBytes(part.length);
    }
    if (part.length < remote.size) {
      throw new HubError(
        "hub-network",
        `${remote.what}: the connection ended after ${part.length} of ${remote.size} bytes; try again, and the ` +
          "download resumes there",
        { what: remote.what, received: part.length, size: remote.size },
      );
    }
  });
}

/** Requests the bytes that are missing. Clears the partial file if the server sends the whole file instead. */
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
    throw answerError(remote.what, `the bytes from ${from} of ${remote.size} were requested, and "${range}" was sent`);
  }
  if (status === 200) {
    if (from > 0) await part.clear();
    return answer;
  }
  await answer.close();
  throw elsewhere(remote, answer, options) ?? statusError(asked, answer.response);
}

/** A CDN refuses links that have expired. This is worth a retry, because the Hub issues a new link. */
function elsewhere({ what }: RemoteFile, { response }: Answer, { endpoint }: ClientOptions): HubError | undefined {
  const { host, origin } = new URL(response.url);
  if (origin === new URL(endpoint).origin || ![400, 401, 403, 410].includes(response.status)) return undefined;
  return new HubError("hub-server", `${what}: ${host} refused its link (status ${response.status}); try again later`, {
    what,
    status: response.status,
  });
}
