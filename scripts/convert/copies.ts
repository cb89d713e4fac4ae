/**
 * Certificates that state how many copies of a document were given, as version 3 did at first: only the document was
 * counted, so the result names it alone. Counts, p-values and policy stay; the file is sealed again and verified.
 */
import { type Certificate, verifyCertificate } from "early-exits";
import { sealCertificate } from "../../src/calibrate/certificate/certificate.js";

type Counting = Omit<Certificate, "documents"> & {
  readonly documents: readonly (Omit<Certificate["documents"][number], "copies"> & { readonly copies?: number })[];
};

export function countsCopies(json: unknown): json is Counting {
  const { format, documents } = (json ?? {}) as { readonly format?: unknown; readonly documents?: unknown };
  const listed = format === "early-exits/certificate" && Array.isArray(documents) ? (documents as unknown[]) : [];
  return listed.some((document) => typeof (document as { readonly copies?: unknown } | null)?.copies === "number");
}

/** Throws if it is not what its digest says, or if the result is refuted. */
export async function nameCounted({ digest, ...old }: Counting): Promise<Certificate> {
  const { digest: found } = await sealCertificate(old as never);
  if (found !== digest) throw new Error("convert: the digest does not match: the file was changed after it was made");
  const certificate = await sealCertificate({
    ...old,
    assumptions: old.assumptions.filter((code) => code !== "documents-distinct"),
    documents: old.documents.map(({ hash, tokens, group }) => ({
      hash,
      tokens,
      ...(group !== undefined && { group }),
    })),
  });
  const { verdict, reasons } = await verifyCertificate(certificate);
  if (verdict === "refuted") throw new Error(`convert: ${reasons.join("; ")}`);
  return certificate;
}
