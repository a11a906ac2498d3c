"""Files of messages: JSON Lines, CSV, WeCom session archives, and labelled files for evaluation."""
