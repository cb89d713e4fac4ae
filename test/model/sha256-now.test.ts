/** The hash without waiting is Node's, at every length around a block. */
import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { sha256Now } from "../../src/model/sha256-now.js";

it("is Node's SHA-256 of the text in UTF-8", () => {
  for (const times of [...Array(200).keys(), 50_000]) {
    const text = "é7".repeat(times);
    expect(sha256Now(text)).toBe(createHash("sha256").update(text).digest("hex"));
  }
});
