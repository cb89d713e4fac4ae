/** Errors of this library are told apart by their codes. */
import { expect } from "vitest";

export async function expectCode(work: Promise<unknown>, code: string): Promise<void> {
  await expect(work).rejects.toMatchObject({ code });
}
