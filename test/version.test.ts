/** The version in reports is the package's. */
import { readFile } from "node:fs/promises";
import { libraryVersion } from "early-exits";
import { expect, it } from "vitest";

it("libraryVersion is package.json's version", async () => {
  const { version } = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  expect(libraryVersion).toBe(version);
});
