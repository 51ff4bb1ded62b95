/** The version of this package, as package.json has it. */
export const VERSION = "0.1.0";

/** The header in which a client tells a gateway its version. */
export const VERSION_HEADER = "messagedb-client-version";
