!> Networks and their directional derivatives: what losses of forces need.
!>
!> The gradient of a force loss with respect to the weights is that of Σ_q [e_q E_q + Ė_q] at fixed e and Ẋ, where
!> Ė_q = Σ_f (∂E_q/∂x_qf) Ẋ_qf is the change of an output along the change Ẋ of its inputs (the residual forces
!> carried to the descriptors).  One forward pass with tangents and one backward pass over both give it: no second
!> derivative matrix, no stored Jacobian.  In the backward pass the adjoint of a tangent argument is what
!> `backward_twice` has found already, the derivative of the output with respect to that argument.
module tf_network_tangent
   use tf_kinds, only : wp, rp => wp
   use tf_dense, only : set_product, transposed_product, add_outer_product, add_column_sums
   use tf_network, only : network_type
   implicit none
   private
   public :: backward_twice, forward_tangent, backward_tangent

contains

   !> Derivatives of each atom's output with respect to all arguments and to its inputs
   pure subroutine backward_twice(net, n_q, weights, slope, curvature, change, bend, derivative)
      type(network_type), intent(in) :: net
      !> Atoms of the panel (padded)
      integer, intent(in) :: n_q
      real(rp), intent(in) :: weights(net%n_weights)
      !> From `forward`
      real(rp), intent(in) :: slope(n_q, net%n_columns), curvature(n_q, net%n_columns)
      !> Derivative of the output with respect to each argument
      real(rp), intent(out) :: change(n_q, net%n_columns)
      !> Derivative of the output with respect to each value, times the curvature there
      real(rp), intent(out) :: bend(n_q, net%n_columns)
      !> Derivative of the output with respect to the inputs
      real(rp), intent(out) :: derivative(n_q, net%n_nodes(1))
      integer :: l, n_in, n_out, w, c, below

      c = net%n_columns
      change(:, c) = slope(:, c)
      bend(:, c) = curvature(:, c)
      do l = net%n_layers - 1, 1, -1
         n_in = net%n_nodes(l)
         n_out = net%n_nodes(l + 1)
         w = net%weight_offset(l)
         c = net%node_offset(l + 1)
         if (l == 1) then
            call transposed_product(n_q, n_in, n_out, weights(w + 1), change(1, c + 1), derivative)
         else
            below = net%node_offset(l)
            call transposed_product(n_q, n_in, n_out, weights(w + 1), change(1, c + 1), bend(1, below + 1))
            change(:, below + 1:below + n_in) = slope(:, below + 1:below + n_in)*bend(:, below + 1:below + n_in)
            bend(:, below + 1:below + n_in) = curvature(:, below + 1:below + n_in)*bend(:, below + 1:below + n_in)
         end if
      end do
   end subroutine backward_twice

   !> Change of all arguments and values along a change of the inputs
   pure subroutine forward_tangent(net, n_q, x_dot, weights, slope, z_dot, value_dot)
      type(network_type), intent(in) :: net
      !> Atoms of the panel (padded); changes of the inputs
      integer, intent(in) :: n_q
      real(rp), intent(in) :: x_dot(n_q, net%n_nodes(1))
      real(rp), intent(in) :: weights(net%n_weights)
      !> From `forward`
      real(rp), intent(in) :: slope(n_q, net%n_columns)
      !> Changes of the arguments and of the values
      real(rp), intent(out) :: z_dot(n_q, net%n_columns), value_dot(n_q, net%n_columns)
      integer :: l, n_in, n_out, w, c

      do l = 1, net%n_layers - 1
         n_in = net%n_nodes(l)
         n_out = net%n_nodes(l + 1)
         w = net%weight_offset(l)
         c = net%node_offset(l + 1)
         if (l == 1) then
            call set_product(n_q, n_in, n_out, x_dot, weights(w + 1), z_dot(1, c + 1))
         else
            call set_product(n_q, n_in, n_out, value_dot(1, net%node_offset(l) + 1), weights(w + 1), z_dot(1, c + 1))
         end if
         value_dot(:, c + 1:c + n_out) = slope(:, c + 1:c + n_out)*z_dot(:, c + 1:c + n_out)
      end do
   end subroutine forward_tangent

   !> Add the derivative of Σ_q [seed(q)·output(q) + tangent of the output(q)] with respect to the weights
   pure subroutine backward_tangent(net, n_q, x, x_dot, weights, seed, value, slope, change, bend, z_dot, value_dot, &
         work, gradient)
      type(network_type), intent(in) :: net
      !> Atoms of the panel (padded); inputs and their changes
      integer, intent(in) :: n_q
      real(rp), intent(in) :: x(n_q, net%n_nodes(1)), x_dot(n_q, net%n_nodes(1))
      real(rp), intent(in) :: weights(net%n_weights)
      !> Derivative of the loss with respect to each atom's output
      real(rp), intent(in) :: seed(n_q)
      !> From `forward` and the two procedures above
      real(rp), intent(in) :: value(n_q, net%n_columns), slope(n_q, net%n_columns), change(n_q, net%n_columns), &
         bend(n_q, net%n_columns), z_dot(n_q, net%n_columns), value_dot(n_q, net%n_columns)
      !> Scratch
      real(rp), intent(inout) :: work(n_q, net%n_columns)
      real(wp), intent(inout) :: gradient(net%n_weights)
      integer :: l, n_in, n_out, w, c, below

      c = net%n_columns
      work(:, c) = seed*slope(:, c) + bend(:, c)*z_dot(:, c)
      do l = net%n_layers - 1, 1, -1
         n_in = net%n_nodes(l)
         n_out = net%n_nodes(l + 1)
         w = net%weight_offset(l)
         c = net%node_offset(l + 1)
         call add_column_sums(n_q, n_out, work(1, c + 1), gradient(w + n_in*n_out + 1))
         if (l == 1) then
            call add_outer_product(n_q, n_in, n_out, x, work(1, c + 1), gradient(w + 1))
            call add_outer_product(n_q, n_in, n_out, x_dot, change(1, c + 1), gradient(w + 1))
         else
            below = net%node_offset(l)
            call add_outer_product(n_q, n_in, n_out, value(1, below + 1), work(1, c + 1), gradient(w + 1))
            call add_outer_product(n_q, n_in, n_out, value_dot(1, below + 1), change(1, c + 1), gradient(w + 1))
            call transposed_product(n_q, n_in, n_out, weights(w + 1), work(1, c + 1), work(1, below + 1))
            work(:, below + 1:below + n_in) = slope(:, below + 1:below + n_in)*work(:, below + 1:below + n_in) &
               + bend(:, below + 1:below + n_in)*z_dot(:, below + 1:below + n_in)
         end if
      end do
   end subroutine backward_tangent

end module tf_network_tangent
