/**
 * Model names of the Hugging Face Hub:
 *
 *   [hub:] org/name [@revision] [/folder/file.gguf]
 *
 * The revision is a branch, a tag, a commit or `refs/pr/1`. Before a file, a branch's slash is written as %2F. org/name
 * follows huggingface_hub (`validate_repo_id`). Revisions and files become parts of cache paths, so "..", backslashes
 * and absolute paths are refused.
 */
import { HubError } from "../../errors.js";

export interface HubName {
  /** "org/name". */
  readonly repo: string;
  /** @default "main" */
  readonly revision: string;
  /** GGUF file; undefined for the repository as a whole. */
  readonly file?: string;
}

const PREFIX = "hub:";
const DEFAULT_REVISION = "main";
const LONGEST_REPO = 96;

/** Throws a HubError `hub-name` that says which part is malformed. */
export function parseHubName(name: string): HubName {
  const fail = (found: string): HubError =>
    new HubError(
      "hub-name",
      `"${name}": ${found}; a name of the Hub is org/name, org/name@revision or org/name/file.gguf`,
      { name },
    );
  const bare = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
  const [, repo, version, rest = ""] = /^([^/@]+\/[^/@]+)(?:@(.*)|\/(.*))?$/s.exec(bare) ?? [];
  if (repo === undefined) throw fail("expected an organisation and a name separated by a slash");
  if (!isRepo(repo)) throw fail(`"${repo}" is not a valid name on the Hub`);
  const { revision, file } = version === undefined ? { revision: DEFAULT_REVISION, file: rest } : cutVersion(version);
  if (!isSafePath(revision) || /[\s~^:?*[]/.test(revision)) throw fail(`"${revision}" cannot be a revision`);
  if (file === "" && name.endsWith("/")) throw fail("it ends with a slash");
  if (file === "") return { repo, revision };
  if (!isSafePath(file)) throw fail(`"${file}" cannot be a file of a repository`);
  if (!isGguf(file)) throw fail(`"${file}" is not a GGUF file`);
  return { repo, revision, file };
}

/**
 * True for "hub:" and for the form of a Hub name. A relative path of two parts has that form too, so check first
 * whether it exists.
 */
export function isHubName(name: string): boolean {
  if (name.startsWith(PREFIX)) return true;
  try {
    parseHubName(name);
    return true;
  } catch {
    return false;
  }
}

/** URL of the repository's files, with a trailing slash, or of the GGUF file. */
export function hubUrl(name: string): string {
  const { repo, revision, file = "" } = parseHubName(name);
  const path = file.split("/").map(encodeURIComponent).join("/");
  return `https://huggingface.co/${repo}/resolve/${encodeURIComponent(revision)}/${path}`;
}

/** True if a relative path stays inside its folder on every system. */
export function isSafePath(path: string): boolean {
  const parts = path.split("/");
  const plain = /^[^\\:\p{Cc}]+$/u.test(path);
  return plain && parts.every((part) => part !== "" && part.length <= 255 && !/^\.{1,2}$/.test(part));
}

export function isGguf(path: string): boolean {
  return /\.gguf$/i.test(path);
}

function isRepo(repo: string): boolean {
  const part = /^\w(?:[\w.-]*\w)?$/;
  return (
    repo.length <= LONGEST_REPO &&
    repo.split("/").every((word) => part.test(word)) &&
    !/--|\.\./.test(repo) &&
    !repo.endsWith(".git")
  );
}

/** Splits "revision/folder/file.gguf". A revision has one part, or three if it begins with "refs/". */
function cutVersion(text: string): { revision: string; file: string } {
  const parts = text.split("/");
  const length = !isGguf(text) ? parts.length : parts[0] === "refs" ? 3 : 1;
  return {
    revision: parts.slice(0, length).join("/").replaceAll(/%2f/gi, "/"),
    file: parts.slice(length).join("/"),
  };
}
