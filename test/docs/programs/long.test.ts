/** Programs of pages that take long; test/docs/pages.test.ts runs the others. */
import { describe } from "vitest";
import { itsProgramRuns, longPrograms } from "../program.js";

describe.each(longPrograms)("%s", itsProgramRuns);
