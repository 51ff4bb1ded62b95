import { useEffect, useState } from "preact/hooks";

/** Whether the page is as narrow as a phone. */
export function useNarrow(): boolean {
  return useMedia("(max-width: 720px)");
}

/** Whether the system wants dark colors. */
export function useDark(): boolean {
  return useMedia("(prefers-color-scheme: dark)");
}

function useMedia(text: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(text).matches);
  useEffect(() => {
    const query = matchMedia(text);
    const onChange = () => setMatches(query.matches);
    query.addEventListener("change", onChange);
    return () => query.removeEventListener("change", onChange);
  }, [text]);
  return matches;
}
