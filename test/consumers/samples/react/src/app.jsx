import { useState } from "react";
import { Messages } from "./messages.jsx";

const token = () => "sara-signs-in";

/** The messages, and a button that takes them away and brings them back. */
export function App() {
  const [there, setThere] = useState(true);
  return (
    <main title="first">
      <button type="button" onClick={() => setThere(!there)}>{there ? "leave" : "come back"}</button>
      {there && <Messages account="sara" token={token} />}
    </main>
  );
}
