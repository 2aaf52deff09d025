"""What plugin authors and our own tests build small things from. Ships with the core, imports no test framework."""
