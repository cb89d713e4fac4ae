/**
 * Settings from the environment variables of huggingface_hub (see "Environment variables" in its documentation):
 *
 *   HF_ENDPOINT        https://huggingface.co
 *   HF_HOME            $XDG_CACHE_HOME/huggingface, or ~/.cache/huggingface
 *   HF_HUB_CACHE       $HF_HOME/hub (formerly HUGGINGFACE_HUB_CACHE)
 *   HF_TOKEN           or the file HF_TOKEN_PATH, by default $HF_HOME/token (formerly HUGGING_FACE_HUB_TOKEN)
 *   HF_HUB_OFFLINE     1, ON, YES or TRUE: use the cache only (also TRANSFORMERS_OFFLINE)
 *   HF_HUB_DISABLE_IMPLICIT_TOKEN, HF_HUB_DOWNLOAD_TIMEOUT (seconds)
 *
 * `getHFHubCachePath` of @huggingface/hub covers the cache only, and does not expand "~" or variables.
 */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { HubError } from "../../errors.js";

export interface HubSettings {
  /** Without a trailing slash. */
  readonly endpoint: string;
  readonly cache: string;
  readonly token: string | undefined;
  readonly offline: boolean;
  /** Milliseconds without data before a connection is dropped. */
  readonly timeout: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

const TIMEOUT = 10_000;

export async function hubSettings(env: Environment = process.env, home = homedir()): Promise<HubSettings> {
  const path = (name: string): string | undefined => {
    const value = env[name];
    return value === undefined || value === "" ? undefined : expandPath(value, env, home);
  };
  const hfHome = path("HF_HOME") ?? join(path("XDG_CACHE_HOME") ?? join(home, ".cache"), "huggingface");
  const seconds = Number(env["HF_HUB_DOWNLOAD_TIMEOUT"]);
  return {
    endpoint: endpointOf(env["HF_ENDPOINT"]),
    cache: path("HF_HUB_CACHE") ?? path("HUGGINGFACE_HUB_CACHE") ?? join(hfHome, "hub"),
    token: isOn(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])
      ? undefined
      : (cleanToken(env["HF_TOKEN"]) ??
        cleanToken(env["HUGGING_FACE_HUB_TOKEN"]) ??
        (await tokenIn(path("HF_TOKEN_PATH") ?? join(hfHome, "token")))),
    offline: isOn(env["HF_HUB_OFFLINE"]) || isOn(env["TRANSFORMERS_OFFLINE"]),
    timeout: seconds > 0 ? Math.min(1000 * seconds, 2 ** 31 - 1) : TIMEOUT,
  };
}

/** Removes a trailing slash. Throws a HubError `hub-endpoint`. */
export function endpointOf(endpoint: string | undefined): string {
  if (endpoint === undefined || endpoint === "") return "https://huggingface.co";
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new HubError("hub-endpoint", `HF_ENDPOINT: expected an http or https address, found "${endpoint}"`, {
      endpoint,
    });
  }
  return endpoint.replace(/\/+$/, "");
}

function expandPath(path: string, env: Environment, home: string): string {
  return path
    .replace(/^~(?=$|[/\\])/, () => home)
    .replaceAll(
      /\$(?:(\w+)|\{(\w+)\})/g,
      (text, plain?: string, braced?: string) => env[plain ?? braced ?? ""] ?? text,
    );
}

function isOn(value: string | undefined): boolean {
  return /^(?:1|on|yes|true)$/i.test(value ?? "");
}

function cleanToken(text: string | undefined): string | undefined {
  const token = text?.replaceAll(/\s/g, "");
  return token === "" ? undefined : token;
}

async function tokenIn(path: string): Promise<string | undefined> {
  return cleanToken(await readFile(path, "utf8").catch(() => undefined));
}
