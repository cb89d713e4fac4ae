/** Environment variables mean what they mean to huggingface_hub. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, test } from "vitest";
import { endpointOf, hubSettings } from "../../../src/node/hub/resolve-model.js";
import { scratch } from "../../support/scratch.js";

const home = scratch().path();
const settings = (env: Record<string, string>) => hubSettings(env, home);

test.each([
  [{}, join(home, ".cache/huggingface/hub")],
  [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
  [{ HF_HOME: "~/hf", XDG_CACHE_HOME: "/x" }, join(home, "hf/hub")],
  [{ HF_HOME: "", XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
  [{ HUGGINGFACE_HUB_CACHE: "/old", HF_HOME: "/hf" }, "/old"],
  [{ HF_HUB_CACHE: "/new", HUGGINGFACE_HUB_CACHE: "/old" }, "/new"],
  [{ HF_HUB_CACHE: "$DISK/${PART}/$NONE", DISK: "/d", PART: "p" }, "/d/p/$NONE"],
])("with %j the cache is %s", async (env, cache) => expect((await settings(env)).cache).toBe(cache));

it("the token comes from HF_TOKEN, or from the file that `hf auth login` writes", async () => {
  expect((await settings({})).token).toBeUndefined();
  writeFileSync(join(home, "token"), "hf_file\n");
  expect((await settings({ HF_HOME: home })).token).toBe("hf_file");
  expect((await settings({ HF_TOKEN_PATH: "~/token" })).token).toBe("hf_file");
  expect((await settings({ HF_HOME: home, HF_TOKEN: " hf_variable\r\n" })).token).toBe("hf_variable");
  expect((await settings({ HF_TOKEN: "x", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" })).token).toBeUndefined();
});

test.each([
  ["1", true],
  ["ON", true],
  ["yes", true],
  ["True", true],
  ["0", false],
  ["", false],
])("HF_HUB_OFFLINE=%s means %s", async (HF_HUB_OFFLINE, offline) =>
  expect((await settings({ HF_HUB_OFFLINE })).offline).toBe(offline),
);

it("the endpoint is an http address; a trailing slash is removed", async () => {
  expect((await settings({})).endpoint).toBe("https://huggingface.co");
  expect((await settings({ HF_ENDPOINT: "https://mirror.example/hf//" })).endpoint).toBe("https://mirror.example/hf");
  for (const endpoint of ["mirror", "file:///etc"]) {
    expect(() => endpointOf(endpoint)).toThrow("HF_ENDPOINT: expected an http or https address");
  }
});

it("the timeout is given in seconds", async () => {
  expect((await settings({})).timeout).toBe(10_000);
  expect((await settings({ HF_HUB_DOWNLOAD_TIMEOUT: "2.5" })).timeout).toBe(2500);
  expect((await settings({ HF_HUB_DOWNLOAD_TIMEOUT: "soon" })).timeout).toBe(10_000);
});
