"""A query raised by hand, about the subject under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.desk import ActionRefused
from tui.screens.place import Question

if TYPE_CHECKING:
    from tui.app import DosetrailApp


def raise_question(app: DosetrailApp, about: tuple[str, str]) -> Question:
    """Asks for the question; `about` is the subject, and words that name the row and start the question."""
    subject, record = about
    actions, text = app.desk.actions, app.desk.glyphs.text
    assert actions is not None

    async def done(question: str) -> None:
        asked = f"{record}: {question}" if record else question
        try:
            said = await app.desk.run(lambda: actions.raise_query(asked, subject))
        except ActionRefused as problem:
            app.place.status.say(text(f"{problem} Nothing was recorded."))
            return
        app.desk.personal.keep_draft(f"raise {subject} {record}", "")
        app.news_recorded()
        await app.show_news()
        app.place.status.say(text(said))

    what = f"{subject}, {record}" if record else subject
    return Question(
        "question: ", text(f"A query about {what}   Enter raises it   Esc leaves it"), done, f"raise {subject} {record}"
    )
