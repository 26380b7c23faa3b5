"""The paper of a project: what its runs say, as Markdown and as LaTeX in the form of the ACL."""
