/** Verdicts of certificates. */
import { verifyCertificate } from "early-exits";

/** The verdict of the independent check alone. */
export const verdictOf = async (...asked: Parameters<typeof verifyCertificate>): Promise<string> =>
  (await verifyCertificate(...asked)).verdict;
