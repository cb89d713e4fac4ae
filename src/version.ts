/** The library's version, which reports and certificates name. A test compares it with package.json. */
export const libraryVersion = "0.1.0";
