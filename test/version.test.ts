/** The version in reports is the package's, and that of the exits that go with it; it depends on few others. */
import { readFile } from "node:fs/promises";
import { libraryVersion } from "early-exits";
import { expect, it } from "vitest";

const manifestOf = async (folder: string) =>
  JSON.parse(await readFile(new URL(`${folder}/package.json`, import.meta.url), "utf8")) as Record<string, object>;

it("libraryVersion is package.json's version, and that of early-exits-smollm2, which wants no other", async () => {
  const { version, dependencies, optionalDependencies } = await manifestOf("..");
  expect(libraryVersion).toBe(version);
  expect(await manifestOf("../models/smollm2-135m-instruct")).toMatchObject({
    version,
    peerDependencies: { "early-exits": version },
  });
  expect(Object.keys({ ...dependencies, ...optionalDependencies }).length).toBeLessThanOrEqual(8);
});
