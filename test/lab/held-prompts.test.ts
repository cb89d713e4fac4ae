import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { CertificateDocument } from "../../src/calibrate/certificate/certificate.js";
import { requireUncertified } from "../../lab/pretrained/held-prompts.js";

const hashOf = (name: string): string => createHash("sha256").update(name).digest("hex");

describe("prompts that are held out", () => {
  const group = hashOf("a");
  const documents: readonly CertificateDocument[] = [{ hash: "0", tokens: 1, group }];

  it("are in no certificate", () => {
    expect(() => requireUncertified([{ group: "b" }], [{ documents }])).not.toThrow();
    expect(() => requireUncertified([{ group: "b" }, { group: "a" }], [{ documents: [] }, { documents }])).toThrow(
      "1 of 2 held-out prompts are in a certificate, the first with group a",
    );
  });
});
