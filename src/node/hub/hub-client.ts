/**
 * Metadata from the Hub: the commit and the files of a revision, and the checksum and the size of a file.
 *
 * The former comes from `modelInfo` of @huggingface/hub, which is loaded on first use. `modelInfo` is given its own
 * `fetch`: by itself it accepts only tokens that begin with "hf_", has no timeout, and reads responses of any size. The
 * latter is a HEAD request, as in huggingface_hub. `fileDownloadInfo` of @huggingface/hub does not fit: it follows the
 * redirect to the CDN and takes the ETag of the CDN, which is not the file's checksum.
 */
import { HubError } from "../../errors.js";
import type { HubName } from "../../model/hub/index.js";
import { isCommit } from "./hub-cache.js";
import { answerError, type Asked, statusError } from "./hub-errors.js";
import { type Answer, request, type RequestOptions, textOf } from "./request.js";
import { type RetryOptions, withRetries } from "./retry.js";

export interface ClientOptions extends RetryOptions {
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly timeout: number;
}

export interface RepoInfo {
  readonly commit: string;
  /** Names as the server sent them, unchecked. */
  readonly files: readonly string[];
}

export interface RemoteFile {
  /** For messages. */
  readonly what: string;
  readonly url: string;
  /** SHA-256 (64 hexadecimal digits) of an LFS file, or git's SHA-1 (40) of another. */
  readonly checksum: string;
  /** Bytes. */
  readonly size: number;
}

const LONGEST_INFO = 2 ** 25;
/** For metadata; downloads are retried more often. */
const RETRIES = 2;

export class HubClient {
  constructor(
    readonly name: HubName,
    readonly options: ClientOptions,
  ) {}

  async info(): Promise<RepoInfo> {
    const { repo, revision } = this.name;
    const asked = this.asked();
    const { modelInfo } = await import("@huggingface/hub");
    const boundedFetch = async (input: unknown): Promise<Response> => {
      const answer = await this.#ask(String(input), asked);
      return new Response(await textOf(asked.what, answer, LONGEST_INFO));
    };
    const info = await withRetries(this.#retries(), () =>
      modelInfo({
        name: repo,
        revision,
        hubUrl: this.options.endpoint,
        additionalFields: ["sha", "filePaths"],
        fetch: boundedFetch,
      }).catch((error: unknown) => {
        this.options.signal?.throwIfAborted();
        throw error instanceof HubError ? error : answerError(asked.what, "it does not describe a model", error);
      }),
    );
    const { sha, filePaths } = info as { sha?: unknown; filePaths?: unknown };
    if (typeof sha !== "string" || !isCommit(sha)) throw answerError(asked.what, "it names no commit");
    if (!Array.isArray(filePaths) || !filePaths.every((path): path is string => typeof path === "string")) {
      throw answerError(asked.what, "it lists no files");
    }
    return { commit: sha, files: filePaths };
  }

  async file(commit: string, path: string): Promise<RemoteFile> {
    const { endpoint } = this.options;
    const asked = this.asked(path);
    const url = `${endpoint}/${this.name.repo}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
    const { header, close } = await withRetries(this.#retries(), () =>
      this.#ask(url, asked, {
        method: "HEAD",
        enough: (headers) => headers.has("x-linked-etag") && headers.has("x-linked-size"),
      }),
    );
    await close();
    const checksum = (header("x-linked-etag") ?? header("etag") ?? "").replace(/^W\//, "").replaceAll('"', "");
    if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(checksum)) {
      throw answerError(asked.what, `its ETag "${checksum}" is neither a SHA-256 nor git's SHA-1`);
    }
    const size = header("x-linked-size") ?? header("content-length") ?? "";
    if (!/^\d{1,15}$/.test(size)) throw answerError(asked.what, `its size is "${size}"`);
    const found = header("x-repo-commit");
    if (found !== null && found !== commit) {
      throw answerError(asked.what, `it belongs to commit ${found}, not ${commit}`);
    }
    return { what: asked.what, url, checksum, size: Number(size) };
  }

  asked(path?: string): Asked {
    const { repo, revision } = this.name;
    const { endpoint } = this.options;
    return { what: `${repo}@${revision}${path === undefined ? "" : `/${path}`}`, repo, endpoint };
  }

  /** Sends one request. Throws a HubError if the response is an error. */
  async #ask(url: string, asked: Asked, more: Partial<RequestOptions> = {}): Promise<Answer> {
    const { token, timeout, signal } = this.options;
    const answer = await request(url, { what: asked.what, token, timeout, signal, ...more });
    const { status } = answer.response;
    if (status >= 400 || (status >= 300 && more.enough === undefined)) {
      await answer.close();
      throw statusError(asked, answer.response);
    }
    return answer;
  }

  #retries(): RetryOptions {
    return { ...this.options, retries: Math.min(this.options.retries, RETRIES) };
  }
}
