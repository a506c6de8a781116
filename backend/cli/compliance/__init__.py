"""`refi compliance`: the rules on chain, asked and looked after."""
