/* SPDX-License-Identifier: MIT */
#pragma once

/* librabbitmq, whose headers moved to a folder of their own with version 0.12. */

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_tcp_socket.h>
#endif
