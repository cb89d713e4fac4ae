import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { requireUncertified } from "../../lab/pretrained/held-prompts.js";

it("prompts that are held out are in no certificate", () => {
  const group = createHash("sha256").update("a").digest("hex");
  const documents = [{ hash: "0", tokens: 1, group }];
  expect(() => requireUncertified([{ group: "b" }], [{ documents }])).not.toThrow();
  expect(() => requireUncertified([{ group: "b" }, { group: "a" }], [{ documents: [] }, { documents }])).toThrow(
    "1 of 2 held-out prompts are in a certificate, the first with group a",
  );
});
