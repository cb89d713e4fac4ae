/** Identity of models, documents, heads and cached files. */
import { ModelError } from "../errors.js";

/**
 * Lower-case hexadecimal, of bytes or of a text in UTF-8. Throws a ModelError on a page served over plain http from
 * another machine, which may not hash.
 */
export async function sha256(data: Uint8Array | string): Promise<string> {
  const { subtle } = crypto as { subtle?: SubtleCrypto };
  if (subtle === undefined) {
    throw new ModelError(
      "insecure-context",
      "sha256: browsers hash in secure contexts only, and this page is not one; serve it over https or from localhost",
    );
  }
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const digest = await subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
